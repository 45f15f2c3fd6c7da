/**
 * Tells a statement that certainly changes nothing from one that might. Being wrong in one direction repeats a write, so
 * anything unusual counts as a write: unknown functions, locking, a second statement, quoting tricks.
 */
const harmlessFunctions = new Set(
  (
    'count sum min max avg coalesce nullif greatest least lower upper length char_length octet_length abs ceil ceiling ' +
    'floor round trunc mod power sqrt sign now date_trunc date_part extract age to_char to_date to_timestamp to_number ' +
    'array_agg string_agg json_agg jsonb_agg json_build_object jsonb_build_object jsonb_object_agg row_number rank ' +
    'dense_rank lag lead first_value last_value ntile percentile_cont percentile_disc mode stddev variance bool_and ' +
    'bool_or every substring substr left right trim btrim ltrim rtrim replace split_part position concat concat_ws ' +
    'format md5 regexp_replace regexp_match array_length cardinality unnest generate_series jsonb_array_elements ' +
    'to_json to_jsonb row_to_json exists any all some in values as and or not on over filter using where when then ' +
    'else select from having by case cast with group numeric varchar char decimal bit timestamp time interval row ' +
    'array materialized lateral join union intersect except only limit offset between like ilike is distinct ' +
    'hashint8extended hashtextextended uuid_hash_extended pg_typeof current_setting'
  ).split(' '),
);

const refused =
  /\b(insert|update|delete|merge|truncate|into|lock|call|do|copy|create|alter|drop|grant|revoke|set|reset|nextval|setval|share|execute|listen|notify|vacuum|analyze)\b/;

/** True when the text is one SELECT, VALUES, TABLE or SHOW that can only read. */
export function isPlainRead(sql: string): boolean {
  const text = withoutLiterals(sql)?.trim().replace(/;$/, '').toLowerCase();
  if (text === undefined || !/^(select|values|table|show|with)\b/.test(text)) return false;
  if (text.includes(';') || text.includes('$$') || refused.test(text)) return false;
  for (const [, name = ''] of text.matchAll(/([a-z_][\w.]*|")\s*\(/g)) {
    if (!harmlessFunctions.has(name)) return false;
  }
  return true;
}

/** Without comments and the insides of strings, or undefined where that is not plain to see. */
function withoutLiterals(sql: string): string | undefined {
  if (sql.includes('\\') || /\$[a-z_]*\$/i.test(sql)) return undefined;
  const text = sql.replace(
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[^*]*(?:\*(?!\/)[^*]*)*\*\//g,
    token => (token.startsWith("'") ? "''" : token.startsWith('"') ? '"' : ' '),
  );
  return /\/\*|\*\//.test(text) ? undefined : text;
}
