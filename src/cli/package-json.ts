/** The part of package.json that the program needs at run time; the build bakes it in. */
import type { Interfaces } from '@oclif/core';

export type PackageJson = Interfaces.PJSON & {
  readonly name: string;
  readonly version: string;
  readonly oclif: { readonly bin: string; readonly dirname: string };
};
