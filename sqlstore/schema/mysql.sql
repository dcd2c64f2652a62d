-- The keys of events. Times are unix microseconds.
CREATE TABLE IF NOT EXISTS geminihook_deliveries (
	event_key VARBINARY(1024) NOT NULL PRIMARY KEY, -- bytes: text would be compared without case
	state     TINYINT NOT NULL, -- 0 released, 1 claimed, 2 done
	token     VARBINARY(64), -- of the claim; null once released, and for events that Transact handled
	attempt   INT NOT NULL, -- how many claims were acquired
	lease     BIGINT NOT NULL, -- when the lease ends
	expires   BIGINT NOT NULL, -- from when on Claim treats the row as absent, and Purge removes it
	KEY geminihook_deliveries_expires (expires)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
