-- The jobs that the program waits for, and those that have ended. Times are unix
-- microseconds. Tasks are bytes, because a collation would ignore spaces at the end.
CREATE TABLE IF NOT EXISTS geminihook_jobs (
	task    VARBINARY(255) NOT NULL PRIMARY KEY, -- the program's name for the job
	kind    VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- batch, interaction or video
	id      VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin, -- the API's name for the job; null until it is known
	segment VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin UNIQUE, -- the last path segment of the id, by which events are matched
	added   BIGINT NOT NULL, -- just before the job was created
	ended   BIGINT NOT NULL DEFAULT 0, -- 0 if the program waits for the job
	event   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin, -- the type of the event that ended it
	KEY geminihook_jobs_waiting (ended, task)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
