"""One file per stage of a prospect's way. Stages meet in the database, never in an import."""
