-- The events that were handled and those that are being handled. The columns
-- are in an order that needs no padding.
CREATE TABLE geminihook_deliveries (
	lease   timestamptz NOT NULL, -- when the claim's lease ends
	expires timestamptz NOT NULL, -- when the row may be purged, rounded up
	attempt integer NOT NULL, -- how many claims were acquired
	state   smallint NOT NULL, -- 0 released, 1 claimed, 2 done
	key     bytea PRIMARY KEY, -- bytes, because a header need not be UTF-8
	token   bytea -- of the claim; null after Release and after Transact
);

CREATE INDEX ON geminihook_deliveries (expires);

-- Migrate reads this version.
COMMENT ON TABLE geminihook_deliveries IS 'geminihook pgstore, schema version 1';
