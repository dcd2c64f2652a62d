-- name: CreateResult :exec
INSERT INTO sqlc_results (webhook_id, job) VALUES (?, ?);
