/**
 * Days and moments. PostgreSQL counts from 2000 and Parquet from 1970; both are proleptic Gregorian, so years before Christ are no
 * exception. Infinity is: neither it nor the last thirty years before 294277 fit.
 */
import { asBigint, asNumber, type ColumnType, UnfitValueError } from './column-type.ts';

const DAYS_TO_2000 = 10_957;
const MICROS_TO_2000 = 946_684_800_000_000n;
const MICROS_PER_DAY = 86_400_000_000n;
const LAST_MICROS = 2n ** 63n - 1n;
const INFINITE_DAYS: readonly number[] = [2 ** 31 - 1, -(2 ** 31)];
const INFINITE_MICROS: readonly bigint[] = [2n ** 63n - 1n, -(2n ** 63n)];

export const date: ColumnType = {
  storage: { physical: 'INT32', meaning: { kind: 'date' }, says: 'date' },
  ordered: true,
  select: column => column,
  read: (bytes, at) => {
    const days = bytes.readInt32BE(at);
    if (INFINITE_DAYS.includes(days)) throw new UnfitValueError('an infinite date');
    return days + DAYS_TO_2000;
  },
  canonicalSql: column => `encode(date_send(${column}), 'hex')`,
  canonical: value => ((asNumber(value) - DAYS_TO_2000) >>> 0).toString(16).padStart(8, '0'),
  text: value => dayText(asNumber(value)),
};

function moment(zone: 'UTC' | 'local'): ColumnType {
  const send = zone === 'UTC' ? 'timestamptz_send' : 'timestamp_send';
  return {
    storage: {
      physical: 'INT64',
      meaning: { kind: 'timestamp', utc: zone === 'UTC' },
      says:
        zone === 'UTC' ? 'timestamp in microseconds, UTC' : 'timestamp in microseconds, without time zone',
    },
    ordered: true,
    select: column => column,
    read: (bytes, at) => {
      const micros = bytes.readBigInt64BE(at);
      if (INFINITE_MICROS.includes(micros)) throw new UnfitValueError('an infinite timestamp');
      if (micros > LAST_MICROS - MICROS_TO_2000)
        throw new UnfitValueError('a timestamp too far in the future');
      return micros + MICROS_TO_2000;
    },
    canonicalSql: column => `encode(${send}(${column}), 'hex')`,
    canonical: value =>
      BigInt.asUintN(64, asBigint(value) - MICROS_TO_2000)
        .toString(16)
        .padStart(16, '0'),
    text: value => momentText(asBigint(value), zone === 'UTC' ? '+00' : ''),
  };
}

export const timestamptz = moment('UTC');
export const timestamp = moment('local');

/** `2026-03-01`, `0044-03-15 BC`, with as many digits of the year as it has. Days since 1970-01-01. */
export function dayText(days: number): string {
  const { year, month, day } = civil(days);
  const before = year < 1;
  const digits = String(before ? 1 - year : year).padStart(4, '0');
  return `${digits}-${two(month)}-${two(day)}${before ? ' BC' : ''}`;
}

/** As a folder's name: `2026-03-01`; years before Christ and beyond 9999 by ISO 8601's longer form, `-000043-03-15`. */
export function dayName(days: number): string {
  const { year, month, day } = civil(days);
  const sign = year < 0 ? '-' : '+';
  const shown =
    year >= 0 && year <= 9999
      ? String(year).padStart(4, '0')
      : `${sign}${String(Math.abs(year)).padStart(6, '0')}`;
  return `${shown}-${two(month)}-${two(day)}`;
}

function momentText(micros: bigint, zone: string): string {
  const days = floorDivide(micros, MICROS_PER_DAY);
  const rest = micros - days * MICROS_PER_DAY;
  const seconds = Number(rest / 1_000_000n);
  const fraction = String(rest % 1_000_000n).padStart(6, '0');
  const clock = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(':');
  const [day = '', era] = dayText(Number(days)).split(' ');
  return `${day} ${clock}.${fraction}${zone}${era === undefined ? '' : ` ${era}`}`;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** Year (0 is 1 BC), month and day of a day since 1970-01-01, in cycles of 400 years that begin in March. */
function civil(days: number): { year: number; month: number; day: number } {
  const sinceEra = days + 719_468;
  const era = Math.floor(sinceEra / 146_097);
  const ofEra = sinceEra - era * 146_097;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * ofYear + 2) / 153);
  const day = ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  return { year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day };
}
