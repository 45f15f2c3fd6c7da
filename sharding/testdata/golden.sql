-- Makes slots.golden.json on a PostgreSQL server of UTF-8 encoding:
--   psql -AtX -f sharding/testdata/golden.sql > sharding/testdata/slots.golden.json
-- Every hash is the whole 64-bit value as text; a slot is its low bits. The output is the same on every server.
with bigints(key) as (
  values (0::bigint), (1), (-1), (2), (42), (-42), (2147483647), (2147483648), (-2147483648), (-2147483649),
    (4294967295), (4294967296), (4294967297), (-4294967295), (-4294967296), (-4294967297),
    (9007199254740991), (9007199254740992), (-9007199254740991), (-9007199254740992),
    (9223372036854775807), (-9223372036854775807), (-9223372036854775807 - 1), (1234567890123456789)
  union all select hashint8extended(i, 42) from generate_series(1, 200) i
  union all select hashint8extended(i, 43) >> 11 from generate_series(1, 100) i
  union all select i * 7919 from generate_series(-50, 50) i where i <> 0
), texts(key) as (
  values (''), ('a'), ('Zürich'), ('東京'), ('naïve café'), ('🙂'), ('𝄞 clef'), ('مرحبا'), (e'tab\tand\nline'), ('NULL'),
    ('user:42'), (U&'\FFFF'), (U&'\E000'), (U&'\D7FF'), (U&'\+010000'), (U&'\+10FFFD'), (U&'e\0301'), ('é')
  -- Every length around the blocks of 12 bytes, in one, two and four bytes a character.
  union all select left(repeat('shardwright-', 400), n) from generate_series(2, 61) n
  union all select left(repeat('äöü', 20), n) from generate_series(1, 25) n
  union all select repeat('🙂', n) from generate_series(2, 13) n
  union all select left(repeat('0123456789abcdef', 400), n) from unnest(array[511, 512, 513, 514, 1535, 1536, 4000]) n
  union all select repeat('é', n) from unnest(array[256, 511, 512, 513, 768]) n
  union all select repeat('東', n) from unnest(array[511, 512, 513]) n
  union all select md5(i::text) from generate_series(1, 100) i
), uuids(key) as (
  values ('00000000-0000-0000-0000-000000000000'::uuid), ('ffffffff-ffff-ffff-ffff-ffffffffffff'),
    ('00000000-0000-0000-0000-000000000001'), ('80000000-0000-0000-0000-000000000000')
  union all select md5('uuid' || i)::uuid from generate_series(1, 100) i
)
select json_build_object(
  'bigint', (select json_agg(json_build_array(key::text, hashint8extended(key, 0)::text) order by key) from bigints),
  'int', (select json_agg(json_build_array(key::text, hashint4extended(key::int, 0)::text) order by key)
          from bigints where key between -2147483648 and 2147483647),
  'text', (select json_agg(json_build_array(key, hashtextextended(key, 0)::text) order by key collate "C") from texts),
  'uuid', (select json_agg(json_build_array(key::text, uuid_hash_extended(key, 0)::text) order by key) from uuids)
);
