CREATE TABLE IF NOT EXISTS sqlc_results (
	webhook_id VARCHAR(256) NOT NULL,
	job        TEXT         NOT NULL
);
