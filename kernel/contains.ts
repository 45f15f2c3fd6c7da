/**
 * Does a live object still hold what we applied? Compares only the fields of the intent: defaults and other managers' fields
 * are theirs. Works without a schema: which lists merge by key is known for the built-in kinds, all others are ours whole.
 */
import { canonicalJson } from '#kernel/canonical.ts';

type Json = unknown;

/** Fields that hold lists merged by key, and the keys (an element has some of them). */
const mergedLists: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  volumes: ['name'],
  env: ['name'],
  imagePullSecrets: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  ports: ['containerPort', 'port', 'protocol'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey', 'whenUnsatisfiable'],
  conditions: ['type'],
  ownerReferences: ['uid'],
};

/** Lists that behave as sets of plain values. */
const sets: ReadonlySet<string> = new Set(['finalizers']);

/** Maps that are one value: a key that somebody adds changes what they mean, and an apply takes it away again. */
const wholeMaps: ReadonlySet<string> = new Set([
  'selector',
  'labelSelector',
  'podSelector',
  'namespaceSelector',
  'nodeSelector',
]);

/** True when every field of `intent` has its value in `live`. A field without a value (undefined) is no field. */
export function contains(live: Json, intent: Json): boolean {
  return covers(live, intent, '', false);
}

function covers(live: Json, intent: Json, field: string, whole: boolean): boolean {
  if (live === intent) return true;
  // The server leaves out what is empty.
  if (live === undefined || live === null) return isEmpty(intent);
  if (Array.isArray(intent)) return Array.isArray(live) && coversList(live, intent, field, whole);
  if (!isObject(intent) || !isObject(live)) return false;
  if (wholeMaps.has(field) && canonicalJson(live) !== canonicalJson(intent)) return false;
  // Runs for each field of each object of each reconcile: without a list of the fields it leaves no garbage.
  for (const name in intent) {
    const value = intent[name];
    if (value !== undefined && !covers(live[name], value, name, whole)) return false;
  }
  return true;
}

function coversList(live: readonly Json[], intent: readonly Json[], field: string, whole: boolean): boolean {
  if (!whole && sets.has(field)) return intent.every(value => live.includes(value));
  const keys = whole ? undefined : mergedLists[field];
  if (!keys) {
    return (
      live.length === intent.length && intent.every((value, index) => covers(live[index], value, '', true))
    );
  }
  return intent.every(value => {
    const counterpart = live.find(each => sameElement(each, value, keys));
    return counterpart !== undefined && covers(counterpart, value, '', false);
  });
}

function sameElement(live: Json, intent: Json, keys: readonly string[]): boolean {
  if (!isObject(live) || !isObject(intent)) return false;
  return keys.every(key => intent[key] === undefined || live[key] === intent[key]);
}

/** What is left of `live` when only the fields of `intent` are looked at: to notice later that one of them changed. */
export function project(live: Json, intent: Json): Json {
  if (Array.isArray(intent)) return live;
  if (!isObject(intent) || !isObject(live)) return live;
  return Object.fromEntries(
    Object.entries(intent).map(([name, value]) => [name, project(live[name], value)]),
  );
}

function isEmpty(value: Json): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every(isEmpty);
}

function isObject(value: Json): value is Readonly<Record<string, Json>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
