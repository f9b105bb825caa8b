/** Fields of a parsed document that its schema does not have: they are kept, and told. Pure. */
import * as z from 'zod/mini';

import type { ManifestProblem } from '../errors.ts';
import { isRecord, renderPath } from './appc.ts';
import { findNearest } from './nearest.ts';

/** The schema of the values behind what only wraps them. */
function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const { def } = schema._zod;
  if (def.type === 'pipe') return unwrap((def as z.core.$ZodPipeDef).out);
  if (def.type === 'optional') return unwrap((def as z.core.$ZodOptionalDef).innerType);
  return schema;
}

function* walk(
  wrapped: z.core.$ZodType,
  value: unknown,
  path: readonly PropertyKey[],
): Generator<ManifestProblem> {
  const schema = unwrap(wrapped);
  const { def } = schema._zod;
  if (def.type === 'array' && Array.isArray(value)) {
    for (const [i, item] of value.entries())
      yield* walk((def as z.core.$ZodArrayDef).element, item, [...path, i]);
  } else if (def.type === 'union') {
    const { options } = def as z.core.$ZodUnionDef;
    const fitting = options.find((option) => z.safeParse(option, value).success);
    if (fitting !== undefined) yield* walk(fitting, value, path);
  } else if (def.type === 'object' && isRecord(value)) {
    const { shape } = def as z.core.$ZodObjectDef;
    for (const [key, field] of Object.entries(value)) {
      const known = Object.hasOwn(shape, key) ? shape[key] : undefined;
      if (known !== undefined) {
        yield* walk(known, field, [...path, key]);
        continue;
      }
      const near = findNearest(key, Object.keys(shape));
      yield {
        path: renderPath([...path, key]),
        message: `is no field of appc, and has no effect${near === undefined ? '' : ` (did you mean ${near}?)`}`,
      };
    }
  }
}

/** `value` is what `schema` made of the input. Values that the schema leaves open (isolators, annotations) are not looked into. */
export function findUnknownFields(schema: z.core.$ZodType, value: unknown): ManifestProblem[] {
  return [...walk(schema, value, [])];
}
