-- The ids of deliveries. state: 0 released, 1 claimed, 2 done.
CREATE TABLE IF NOT EXISTS geminihook_deliveries (
	key     bytea PRIMARY KEY, -- what a header can hold need not be UTF-8
	state   smallint NOT NULL,
	token   bytea, -- of the claim; null once released, and where Transact made the mark
	attempt integer NOT NULL,
	lease   timestamptz NOT NULL, -- its end
	expires timestamptz NOT NULL -- when Purge may remove the row, and Claim may take it
);

CREATE INDEX IF NOT EXISTS geminihook_deliveries_expires ON geminihook_deliveries (expires);
