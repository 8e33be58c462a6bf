"""What pages are drawn with: figures as SVG, pieces of HTML and a style."""
