"""What tables are written as: on the screen, Markdown, CSV, pages and documents."""
