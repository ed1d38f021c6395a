"""The app: frame and menu. ``streamlit run app.py`` serves it, together with the routes for large files."""

from pathlib import Path

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from genolm.jobs import keep_queue_moving
from pages.shared import downloads, ranges, uploads

ROOT = Path(__file__).parent
# Streamlit's small print, chosen options and words at axes are too pale for the contrast that WCAG asks for.
STYLE = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 4.5rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] * { color: inherit; opacity: 1; }
[data-testid="stSliderThumbValue"], [data-testid="stSliderThumbValue"] * { color: inherit; }
[data-testid="stTopNavLink"]:focus-visible { outline: 2px solid currentColor; outline-offset: -2px; }
button[data-selected="true"], button[data-selected="true"] * { color: inherit !important; }
[data-testid="stTab"][aria-selected="true"] { color: inherit !important; }
.js-plotly-plot :is([class$="tick"] text, text[class$="title"]) { fill: currentColor !important; }
</style>"""
HOME = "pages/annotate/classify.py"
PAGES = {
    HOME: ("Classify", ":material/label:"),
    "pages/annotate/saliency.py": ("Saliency", ":material/insights:"),
    "pages/annotate/scan.py": ("Scan", ":material/genetics:"),
    "pages/models/train.py": ("Train", ":material/model_training:"),
    "pages/models/pretrain.py": ("Pretrain", ":material/menu_book:"),
    "pages/models/models.py": ("Models", ":material/inventory_2:"),
    "pages/models/jobs.py": ("Jobs", ":material/checklist:"),
    "pages/models/compare.py": ("Compare", ":material/compare_arrows:"),
    "pages/models/results.py": ("Results", ":material/leaderboard:"),
}


def main() -> None:
    """Draw the frame and run the page that the address names."""
    st.set_page_config(page_title="genolm", page_icon=str(ROOT / "assets/logo.svg"), layout="wide")
    st.html(STYLE)
    st.logo(str(ROOT / "assets/logo.svg"), size="large")
    pages = [st.Page(path, title=title, icon=icon) for path, (title, icon) in PAGES.items() if path != HOME]
    title, icon = PAGES[HOME]
    # The page at the bare address keeps its own name for itself and yet does not answer to it: a twin does.
    home = st.Page(HOME, title=title, icon=icon, url_path="home", default=True)
    twin = st.Page(HOME, title=title, icon=icon, url_path=Path(HOME).stem, visibility="hidden")
    pages = [home, *pages, twin]
    st.navigation(pages, position="top").run()


if __name__ == "__main__":
    main()
else:
    # Until a script has called st.navigation, a fresh server looks for pages in the old way and answers the
    # first visit of a page's own address with "page not found"; this tells it from the start.
    PagesManager.uses_pages_directory = False
    keep_queue_moving()
    app = st.App(__file__, routes=[*uploads.routes(), *downloads.routes(), *ranges.routes()])
