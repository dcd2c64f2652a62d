-- The jobs that the program waits for, and those that have ended. Times are unix
-- microseconds.
CREATE TABLE IF NOT EXISTS geminihook_jobs (
	task    text PRIMARY KEY, -- the program's name for the job
	kind    text NOT NULL, -- batch, interaction or video
	id      text, -- the API's name for the job; null until it is known
	segment text UNIQUE, -- the last path segment of the id, by which events are matched
	added   bigint NOT NULL, -- just before the job was created
	ended   bigint NOT NULL DEFAULT 0, -- 0 if the program waits for the job
	event   text -- the type of the event that ended it
);

CREATE INDEX IF NOT EXISTS geminihook_jobs_waiting ON geminihook_jobs (ended, task);
