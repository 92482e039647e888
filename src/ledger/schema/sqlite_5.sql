ALTER TABLE client_key ADD COLUMN last_used INTEGER;
