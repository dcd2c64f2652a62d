-- The jobs that the program waits for, and those that have ended. Times are unix
-- microseconds. Text is compared with its case.
CREATE TABLE IF NOT EXISTS geminihook_jobs (
	task    VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, -- the program's name for the job
	kind    VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- batch, interaction or video
	id      VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin, -- the API's name for the job; null until it is known
	segment VARCHAR(1024) CHARACTER SET ascii COLLATE ascii_bin UNIQUE, -- the last path segment of the id, by which events are matched
	added   BIGINT NOT NULL, -- just before the job was created
	ended   BIGINT NOT NULL DEFAULT 0, -- 0 if the program waits for the job
	event   VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin, -- the type of the event that ended it
	KEY geminihook_jobs_waiting (ended, task)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
