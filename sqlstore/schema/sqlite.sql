-- The keys of deliveries. Times are unix microseconds.
CREATE TABLE IF NOT EXISTS geminihook_deliveries (
	key     BLOB PRIMARY KEY NOT NULL,
	state   INTEGER NOT NULL, -- 0 released, 1 claimed, 2 done
	token   BLOB, -- of the claim; null once released, and for events that Transact handled
	attempt INTEGER NOT NULL,
	lease   INTEGER NOT NULL, -- when the lease ends
	expires INTEGER NOT NULL -- from when on Claim treats the row as absent, and Purge removes it
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS geminihook_deliveries_expires ON geminihook_deliveries (expires);
