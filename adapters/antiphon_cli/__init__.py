"""The ``antiphon`` command: `antiphon_cli.__main__.main`, and its parts."""
