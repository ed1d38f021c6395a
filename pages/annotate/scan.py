"""Scan: a genome and a model -> score tracks and calls on both strands, in a genome browser."""

import streamlit as st

from pages.shared import code_view, inputs, running, scan_cost, scan_form, scan_view, state

st.title("Scan a genome")
st.markdown("The model looks at every window of every record, on both strands, and hits are merged to calls.")
if job := running.current("scan"):
    running.header(job, again="New scan")
    running.wait_until_over(job)
    scan_view.show(job)
    code_view.show_code(job.arguments, key=job.id)
    st.stop()
model = inputs.pick_model("scan_model", scans=True)
source = scan_form.choose_genome(model)
overview = state.overview(source.path, source.name)
inputs.show_overview(overview)
for note in overview.notes:
    st.caption(state.plain(note))
options = scan_form.choose(overview, model)
for sentence in options.missing:
    st.info(sentence, icon=":material/upload_file:")
right, regions = scan_form.read_files(overview, options)
work = scan_cost.Work.of(overview, model, options, regions) if right and not options.missing else None
cost = st.empty()
arguments = options.arguments(source.path, model.name)
if st.button("Start the scan", type="primary", icon=":material/play_arrow:", disabled=not work):
    running.start("scan", arguments, title=f"{source.name}: {model.name}, stride {options.stride:,}")
if work:
    code_view.show_code(arguments, key="scan")
running.recent("scan", "pages/annotate/scan.py")
if work:  # last, since a speed may have to be measured
    with cost:
        words = work.words()
    cost.caption(words)
