"""The demo: two people side by side, on the guide's own JavaScript. Installed with DEMO_ENABLED only."""
