const views = new WeakMap();
const DEBOUNCE_MS = 500;
const WHOLE_FILE_UP_TO = 30000;

const here = (path) => new URL(path, window.location.origin).href;

function later(milliseconds, work) {
  let timer = null;
  const wait = (...given) => { clearTimeout(timer); timer = setTimeout(() => work(...given), milliseconds); };
  wait.stop = () => clearTimeout(timer);
  return wait;
}

async function text(url, from, to) {
  const headers = from === undefined ? {} : { Range: "bytes=" + from + "-" + (to - 1) };
  const answer = await fetch(here(url), { headers });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

/* Features lie in one file, contig after contig; only the contig in view is fetched from a large one. */
class Features {
  constructor(track) { this.track = track; }

  async readFeatures(contig) {
    this.index = this.index || JSON.parse(await text(this.track.index));
    const { columns, contigs } = this.index;
    let lines = "";
    if (this.track.whole) {
      lines = this.index.bytes ? await text(this.track.url) : "";
    } else if (Object.hasOwn(contigs, contig)) {
      lines = await text(this.track.url, ...contigs[contig]);
    }
    return lines.split("\n").filter(Boolean).map((line) => feature(line.split("\t"), columns));
  }
}

function feature(cells, columns) {
  const [chr, start, end, name, strand, ...more] = cells;
  const facts = columns.map((label, place) => ({ name: label, value: more[place] })).filter((fact) => fact.value);
  return {
    chr, start: Number(start), end: Number(end), name, strand,
    popupData: () => [...(name ? [{ name: "Name", value: name }] : []), ...facts],
  };
}

function scoreTrack(track, data, order) {
  return {
    type: "wig", format: "bigwig", name: track.name, url: here(track.url), color: track.colour, height: 90,
    autoscale: false, min: 0, max: 1, windowFunction: "max", order, guideLines: lines(data),
    ...(data.gaps.length ? { roi: [{ name: "not scored", color: "rgba(128,128,128,0.35)", features: data.gaps }] } : {}),
  };
}

const lines = (data) => [{ color: "#6b7280", dotted: true, y: data.threshold }];

async function featureTrack(track, order) {
  const index = JSON.parse(await text(track.index));
  const whole = index.features <= WHOLE_FILE_UP_TO;
  return {
    type: "annotation", name: track.name, order, height: track.height, color: track.colours[0],
    altColor: track.colours[1], displayMode: "EXPANDED", visibilityWindow: -1, searchable: true, queryable: !whole,
    expandedRowHeight: 26, reader: new Features({ ...track, whole }),
  };
}

async function build(data, element, tell) {
  const program = (await import(here(data.program))).default;
  const { fasta, fai, sizes } = data.sequence;
  const sequence = fasta
    ? { fastaURL: here(fasta), indexURL: here(fai) }
    : { fastaURL: here(sizes), format: "chromsizes" };
  const plain = /^[\w.]+$/.test(data.locus.chr);
  const orders = data.scores.length;
  const tracks = data.scores.map((track, place) => scoreTrack(track, data, place + 1));
  for (const [place, track] of data.features.entries()) tracks.push(await featureTrack(track, orders + 1 + place));
  const browser = await program.createBrowser(element, {
    reference: { id: data.genome, name: data.genome, wholeGenomeView: false, ...sequence },
    ...(plain ? { locus: data.locus.chr + ":" + (data.locus.start + 1) + "-" + data.locus.end } : {}), tracks, loadDefaultGenomes: false, search: false, queryParametersSupported: false,
    showChromosomeWidget: data.many, showIdeogram: false, showROITableButton: false, showMultiSelectButton: false,
    showSampleNameButton: false, minimumBases: 20, supportQueryParameters: false,
  });
  const narrow = new CSSStyleSheet();
  narrow.replaceSync(
    ".igv-navbar, .igv-navbar-left-container, .igv-navbar-genomic-location"
    + " { flex-flow: row wrap !important; height: auto !important; min-height: 32px; }");
  element.shadowRoot.adoptedStyleSheets.push(narrow);
  if (!plain) await go(browser, data.locus);
  browser.on("locuschange", (frames) => tell(Array.isArray(frames) ? frames[0] : frames));
  return { program, browser };
}

/* Names with colons or blanks cannot be searched for, so the place goes in as it is. */
async function go(browser, locus) {
  await browser.genome.loadChromosome(locus.chr);
  await browser.updateLoci([{ ...locus }]);
}

async function renew(view, data) {
  const { browser } = view;
  if (data.threshold !== view.threshold) {
    view.threshold = data.threshold;
    for (const shown of browser.tracks.filter((track) => track.config && track.config.guideLines)) {
      shown.config.guideLines = lines(data);
      shown.trackView.repaintViews();
    }
  }
  for (const [place, track] of data.features.entries()) {
    if (view.versions[track.name] === track.version) continue;
    view.versions[track.name] = track.version;
    const order = data.scores.length + 1 + place;
    const fresh = await featureTrack(track, order);
    for (const old of browser.findTracks("name", track.name)) browser.removeTrack(old);
    await browser.loadTrack(fresh);
  }
  if (data.jump !== view.jump) {
    view.jump = data.jump;
    view.shown = { ...data.locus };
    await go(browser, data.locus);
  }
}

/* The stretch in view stays the same when the page gets another width, and a jump in a page that is just being
   laid out does not end where a width of a few pixels would put it. */
async function fit(view) {
  if (!view.browser || view.closed) return;
  const kept = view.shown;
  view.fitting = true;
  try {
    await view.browser.layoutChange();
    if (kept) await go(view.browser, kept);
  } finally {
    view.fitting = false;
  }
}

/* The page's address names the stretch in view, without an entry of its own in the browser's history: Back leads to
   the page before. */
function address(view, locus) {
  if (window.location.pathname !== view.page) return;
  const contig = view.browser && view.browser.genome.getChromosome(locus.chr);
  const end = contig && contig.bpLength ? Math.min(locus.end, contig.bpLength) : locus.end;
  const target = new URL(window.location.href);
  target.searchParams.set("locus", locus.chr + ":" + (locus.start + 1) + "-" + end);
  window.history.replaceState(window.history.state, "", target);
}

function shade(frame) {
  const [red, green, blue] = (getComputedStyle(frame.querySelector(".probe")).color.match(/[\d.]+/g) || [0, 0, 0]).map(Number);
  frame.classList.toggle("dark", 0.3 * red + 0.6 * green + 0.1 * blue > 140);
}

function close(view) {
  view.closed = true;
  view.tell.stop();
  view.watcher.disconnect();
  if (view.browser) view.program.removeBrowser(view.browser);
}

export default function (component) {
  const { data, parentElement, setStateValue } = component;
  const frame = parentElement.querySelector(".frame"), status = frame.querySelector(".status");
  const probe = frame.querySelector(".probe");
  probe.ontransitionend = () => shade(frame);
  shade(frame);
  let view = views.get(parentElement);
  if (view && view.identity !== data.identity) { close(view); view = null; }
  if (!view) {
    frame.querySelector(".genome").remove();
    const element = document.createElement("div");
    element.className = "genome";
    frame.insertBefore(element, probe);
    view = { identity: data.identity, jump: data.jump, threshold: data.threshold, versions: {}, said: "", page: window.location.pathname };
    for (const track of data.features) view.versions[track.name] = track.version;
    views.set(parentElement, view);
    view.tell = later(DEBOUNCE_MS, (locus) => {
      const words = JSON.stringify(locus);
      if (view.closed || words === view.said) return;
      view.said = words;
      address(view, locus);
      view.say("locus", locus);
    });
    const moved = (shown) => {
      if (!shown || view.fitting || frame.clientWidth !== view.width) return;
      view.shown = { chr: shown.chr, start: Math.max(0, Math.round(shown.start)), end: Math.round(shown.end) };
      view.tell(view.shown);
    };
    const refit = later(200, () => fit(view));
    view.width = frame.clientWidth;
    view.watcher = new ResizeObserver(() => {
      if (!frame.clientWidth || frame.clientWidth === view.width) return;
      view.width = frame.clientWidth;
      refit();
    });
    view.watcher.observe(frame);
    view.shown = { ...data.locus };
    view.work = build(data, element, moved).then((made) => {
      Object.assign(view, made);
      status.textContent = "";
      if (view.closed) { view.program.removeBrowser(view.browser); return; }
      moved(view.browser.referenceFrameList[0]);
    }).catch((error) => {
      status.textContent = "The genome browser cannot be shown: " + error.message + " Reload the page to try again.";
    });
  }
  view.say = setStateValue;
  view.work = view.work.then(() => view.browser && renew(view, data)).catch((error) => {
    status.textContent = "The genome browser could not be brought up to date: " + error.message;
  });
  return () => { close(view); views.delete(parentElement); };
}
