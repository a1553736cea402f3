"""`storelab serve`: trained policies and saved models behind a small HTTP API. Needs the extra `serve`."""
