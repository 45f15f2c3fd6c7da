/** Numbers for people. */

const steps = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `17 MiB`, `3.4 GiB`; `-` when it is not known. */
export function bytes(value: number | undefined): string {
  if (value === undefined) return '-';
  const step = value < 1024 ? 0 : Math.min(steps.length - 1, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** step;
  return `${scaled < 10 && step > 0 ? scaled.toFixed(1) : Math.round(scaled)} ${steps[step] ?? ''}`;
}

/** `45s`, `12m`, `5h`, `3d`: how kubectl writes an age. */
export function age(since: string | undefined, now: Date): string {
  const seconds = since === undefined ? Number.NaN : (now.getTime() - Date.parse(since)) / 1000;
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 120) return `${Math.max(0, Math.floor(seconds))}s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** `25.0 %` */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((part / whole) * 100).toFixed(1)} %`;
}

/** `1,234,567` */
export function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** `7s`, `2m 05s`, `3h 10m`, `4d 6h` */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${Math.floor((whole % 86_400) / 3600)}h`;
}

/** `16:05:09`, in UTC. */
export function clock(time: Date): string {
  return time.toISOString().slice(11, 19);
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
