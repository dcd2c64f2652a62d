-- The ids of deliveries. state: 0 released, 1 claimed, 2 done; times are unix microseconds.
CREATE TABLE IF NOT EXISTS geminihook_deliveries (
	key     BLOB PRIMARY KEY NOT NULL,
	state   INTEGER NOT NULL,
	token   BLOB, -- of the claim; null once released, and where Transact made the mark
	attempt INTEGER NOT NULL,
	lease   INTEGER NOT NULL, -- its end
	expires INTEGER NOT NULL -- when Purge may remove the row, and Claim may take it
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS geminihook_deliveries_expires ON geminihook_deliveries (expires);
