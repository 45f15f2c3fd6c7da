/** The number at the end of a pod's name, as StatefulSets give it; undefined for a name without one. */
export function podOrdinal(name: string): number | undefined {
  const digits = /-(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
