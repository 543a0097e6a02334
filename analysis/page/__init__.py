"""Self-contained HTML pages: one of a study, one that sets studies side by side."""

from analysis.page.build import Compared, build_comparison, build_page

__all__ = ["Compared", "build_comparison", "build_page"]
