import { isObject } from '../../src/wire/json.ts';

/** What is wrong with a message, as the Realtime API words it; `param` is a dotted path. */
export interface ApiError {
  code: string;
  message: string;
  param?: string | null;
}

/** What a value may be: that very value, whatever passes, one of several, or an object of these. */
export type Shape =
  | string
  | number
  | boolean
  | null
  | ((value: unknown) => boolean)
  | Shape[]
  | { [key: string]: Shape };

export const text = (value: unknown) => typeof value === 'string';
export const within = (min: number, max: number) => (value: unknown) =>
  typeof value === 'number' && value >= min && value <= max;
export const arrayOf = (shape: Shape) => (value: unknown) =>
  Array.isArray(value) && value.every((element) => findFault(shape, element, '') === undefined);

/**
 * What is wrong with `value`, which stands at the path `param`, '' for the event itself; undefined if nothing is. An
 * object may have no other fields than its shape, and must have those of them that are `required`.
 */
export function findFault(
  shape: Shape,
  value: unknown,
  param: string,
  required: string[] = ['type'],
): ApiError | undefined {
  const invalid = { code: 'invalid_value', message: `Invalid value: '${param}'.`, param };
  if (typeof shape === 'function') return shape(value) ? undefined : invalid;
  if (Array.isArray(shape)) {
    const faults = shape.map((alternative) => findFault(alternative, value, param));
    if (faults.includes(undefined)) return undefined;
    // What was meant is the alternative of the same type.
    return faults.find((fault) => fault?.param !== `${param}.type`) ?? faults[0];
  }
  if (shape === null || typeof shape !== 'object') return value === shape ? undefined : invalid;
  if (!isObject(value)) return invalid;
  const prefix = param === '' ? '' : `${param}.`;
  const missing = required.find((key) => key in shape && !(key in value));
  if (missing !== undefined) {
    const path = prefix + missing;
    return {
      code: 'missing_required_parameter',
      message: `Missing required parameter: '${path}'.`,
      param: path,
    };
  }
  for (const [key, field] of Object.entries(value)) {
    const path = prefix + key;
    const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (inner === undefined) {
      return { code: 'unknown_parameter', message: `Unknown parameter: '${path}'.`, param: path };
    }
    const fault = findFault(inner, field, path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
