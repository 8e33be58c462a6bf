"""Drawing of HTML pages: SVG charts, HTML fragments and a style sheet."""
