-- The jobs that the program waits for, and those that have ended. Times are unix
-- microseconds.
CREATE TABLE IF NOT EXISTS geminihook_jobs (
	task    TEXT PRIMARY KEY NOT NULL, -- the program's name for the job
	kind    TEXT NOT NULL, -- batch, interaction or video
	id      TEXT, -- the API's name for the job; null until it is known
	segment TEXT UNIQUE, -- the last path segment of the id, by which events are matched
	added   INTEGER NOT NULL, -- just before the job was created
	ended   INTEGER NOT NULL DEFAULT 0, -- 0 if the program waits for the job
	event   TEXT -- the type of the event that ended it
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS geminihook_jobs_waiting ON geminihook_jobs (ended, task);
