/** Any part of an object; lists are given whole. */
export type DeepPartial<T> = T extends readonly unknown[]
  ? T
  : T extends object
    ? { [Field in keyof T]?: DeepPartial<T[Field]> }
    : T;
