-- What agents keep, in the database `agents`; for psql.

CREATE DATABASE agents;
CREATE ROLE tenants NOLOGIN;
REVOKE ALL ON DATABASE postgres, template1, agents FROM PUBLIC;
GRANT CONNECT ON DATABASE agents TO tenants;
\connect agents

CREATE TABLE auth_users (
  tenant name NOT NULL DEFAULT current_user,
  name text NOT NULL,
  profile text NOT NULL DEFAULT '',
  -- a constraint is checked over all rows, so without the tenant it would tell whether somebody else has that name
  PRIMARY KEY (tenant, name)
);

CREATE TABLE auth_sessions (
  tenant name NOT NULL DEFAULT current_user,
  id uuid NOT NULL,
  user_name text NOT NULL,
  agent text NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant, id),
  FOREIGN KEY (tenant, user_name) REFERENCES auth_users
);

GRANT SELECT, INSERT, UPDATE, DELETE ON auth_users, auth_sessions TO tenants;

ALTER TABLE auth_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth_sessions ENABLE ROW LEVEL SECURITY;

-- by the role that has logged in: a setting, as some use for this, could be set by whoever sends a statement
CREATE POLICY own_rows ON auth_users USING (tenant = current_user) WITH CHECK (tenant = current_user);
CREATE POLICY own_rows ON auth_sessions USING (tenant = current_user) WITH CHECK (tenant = current_user);
