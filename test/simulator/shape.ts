import { isObject } from '../../src/wire/json.ts';

/** What is wrong with a message; `param` is a dotted path. */
export interface ApiError {
  code: string;
  message: string;
  param?: string | null;
}

/** A predicate, with `words` for what passes. */
type Check = ((value: unknown) => boolean) & { words: string };

/** The values that are valid: a literal, what passes a check, one of several shapes, or an object of shapes. */
export type Shape = string | number | boolean | null | Check | Shape[] | { [key: string]: Shape };

export function check(words: string, passes: (value: unknown) => boolean): Check {
  return Object.assign(passes, { words });
}

export const text = check('text', (value) => typeof value === 'string');
export const object = check('an object', isObject);
export const within = (min: number, max: number) =>
  check(`${min} to ${max}`, (value) => typeof value === 'number' && value >= min && value <= max);
export const arrayOf = (shape: Shape) =>
  check(
    `a list of ${wordsFor(shape)}`,
    (value) => Array.isArray(value) && value.every((element) => findFault(shape, element, '') === undefined),
  );

function wordsFor(shape: Shape): string {
  if (typeof shape === 'function') return shape.words;
  if (Array.isArray(shape)) return shape.map(wordsFor).join(' or ');
  if (shape === null || typeof shape !== 'object') return String(shape);
  return typeof shape.type === 'string' ? shape.type : 'an object';
}

/**
 * Returns what is wrong with `value` at the path `param`, '' for the event itself. An object may have no other fields
 * than its shape, and must have those of its fields that are `required`.
 */
export function findFault(
  shape: Shape,
  value: unknown,
  param: string,
  required: string[] = ['type'],
): ApiError | undefined {
  const place = param === '' ? 'an event' : `'${param}'`;
  const message = `This parrot takes only ${wordsFor(shape)} as ${place}.`;
  const invalid = { code: 'invalid_value', message, param };
  if (typeof shape === 'function') return shape(value) ? undefined : invalid;
  if (Array.isArray(shape)) {
    const faults = shape.map((alternative) => findFault(alternative, value, param));
    if (faults.includes(undefined)) return undefined;
    // Report the alternative of the same type, if there is one.
    const fault = faults.find((each) => each?.param !== param && each?.param !== `${param}.type`);
    return fault ?? { ...invalid, ...(isObject(value) && { param: faults[0]?.param ?? param }) };
  }
  if (shape === null || typeof shape !== 'object') return value === shape ? undefined : invalid;
  if (!isObject(value)) return invalid;
  const prefix = param === '' ? '' : `${param}.`;
  const fields = `This parrot takes only ${Object.keys(shape).join(', ')} in ${place}`;
  const missing = required.find((key) => key in shape && !(key in value));
  if (missing !== undefined) {
    const message = `${fields}, and needs '${missing}'.`;
    return { code: 'missing_required_parameter', message, param: prefix + missing };
  }
  for (const [key, field] of Object.entries(value)) {
    const path = prefix + key;
    const inner = Object.hasOwn(shape, key) ? shape[key] : undefined;
    if (inner === undefined) {
      return { code: 'unknown_parameter', message: `${fields}, not '${key}'.`, param: path };
    }
    const fault = findFault(inner, field, path);
    if (fault !== undefined) return fault;
  }
  return undefined;
}
