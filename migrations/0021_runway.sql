-- Which ends have been announced: each threshold of each subject once. Another end, as after a new secret, begins anew.

create table poststelle.runway_warnings (
  subject text not null,
  ends_at timestamptz not null,
  threshold_days integer not null,
  warned_at timestamptz not null default now(),
  primary key (subject, ends_at, threshold_days)
);
