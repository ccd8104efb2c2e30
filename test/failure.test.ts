import { describe, expect, it } from 'vitest';
import { advice, type Failure, parseRetryAfter, verdict } from '../src/failure.ts';

const closed = (code: number, reason = '') => ({ closed: { code, reason } });
const error = (code?: string) => ({ error: { code, message: undefined } });
const dialling = (failure: Partial<Failure> = {}): Failure => ({ reason: 'dialling failed', ...failure });

describe('The advice', () => {
  it.each<[Partial<Failure>, string]>([
    [error('invalid_api_key'), 'OPENAI_API_KEY'],
    [closed(3000, 'invalid_request_error.invalid_api_key'), 'OPENAI_API_KEY'],
    [closed(3000), 'OPENAI_API_KEY'],
    [{ httpStatus: 401 }, 'OPENAI_API_KEY'],
    [{ httpStatus: 403 }, 'OPENAI_API_KEY'],
    [error('account_deactivated'), 'account'],
    [error('insufficient_quota'), 'quota'],
    [{ httpStatus: 429 }, 'quota'],
    [error('model_not_found'), 'OPENAI_REALTIME_MODEL'],
    [closed(4000, 'invalid_request_error.missing_model'), 'OPENAI_REALTIME_MODEL'],
    [closed(4004), 'OPENAI_REALTIME_MODEL'],
    [{ reason: 'twilio lost' as const }, 'a proxy that was reloaded'],
    [dialling(closed(1006)), 'OPENAI_REALTIME_URL'],
    [dialling({ ...closed(1006), ...error('ECONNREFUSED') }), 'OPENAI_REALTIME_URL'],
    [dialling({ ...closed(1006), ...error('UNABLE_TO_GET_ISSUER_CERT_LOCALLY') }), 'NODE_EXTRA_CA_CERTS'],
    [dialling({ ...closed(1006), ...error('UNABLE_TO_VERIFY_LEAF_SIGNATURE') }), 'NODE_EXTRA_CA_CERTS'],
    [dialling({ ...closed(1006), ...error('SELF_SIGNED_CERT_IN_CHAIN') }), 'NODE_EXTRA_CA_CERTS'],
    [dialling({ ...closed(1006), ...error('DEPTH_ZERO_SELF_SIGNED_CERT') }), 'NODE_EXTRA_CA_CERTS'],
    [dialling({ ...closed(1006), ...error('CERT_HAS_EXPIRED') }), 'clock'],
    [dialling({ ...closed(1006), ...error('CERT_NOT_YET_VALID') }), 'clock'],
    [dialling({ ...closed(1006), ...error('ERR_TLS_CERT_ALTNAME_INVALID') }), 'another name'],
    [dialling({ httpStatus: 200 }), 'captive portal'],
    [dialling({ httpStatus: 302 }), 'captive portal'],
    [dialling({ httpStatus: 404 }), 'No Realtime API is there'],
  ])('after %j names %s', (failure, words) => {
    expect(advice({ reason: 'openai closed', ...failure })).toContain(words);
  });

  it.each([
    {},
    error('server_error'),
    closed(1006),
    closed(1001, 'Your session hit the maximum.'),
    { httpStatus: 503 },
    dialling({ httpStatus: 503, ...closed(1006) }),
    // The error is more specific than the status.
    dialling({ httpStatus: 429, ...error('rate_limit_exceeded') }),
    dialling({ httpStatus: 429, retryAfterMs: 2_000 }),
    dialling({ ...closed(1006), ...error('server_error') }),
    dialling(closed(1013, 'try again later')),
  ])('is none after %j', (failure) => {
    expect(advice({ reason: 'openai closed', ...failure })).toBeUndefined();
  });
});

describe('The verdict', () => {
  it.each<Failure>([
    dialling(closed(1006)),
    dialling({ ...closed(1006), ...error() }),
    dialling({ ...closed(1006), ...error('ECONNRESET') }),
    ...[500, 503, 599].map((httpStatus) => dialling({ ...closed(1006), httpStatus })),
    dialling({ httpStatus: 503, ...error('overloaded') }),
    dialling({ httpStatus: 429, retryAfterMs: 2_000 }),
    dialling({ httpStatus: 429, ...error('rate_limit_exceeded') }),
    dialling(error('server_error')),
    dialling({ ...closed(3000), ...error('server_error') }),
    ...[1011, 1012, 1013].map((code) => dialling(closed(code))),
    dialling(closed(1011, 'server_error')),
    dialling(closed(1011, 'server_error.internal')),
    dialling(closed(1013, 'Try again later.')),
    { reason: 'openai error', ...error('server_error') },
    { reason: 'session.update rejected', ...error('server_error') },
    { reason: 'openai closed', ...closed(1000) },
    { reason: 'openai closed', ...closed(1001, 'Your session hit the maximum duration of 60 minutes.') },
    { reason: 'openai closed', ...closed(1006) },
    { reason: 'openai silent' },
    { reason: 'openai stalled' },
    { reason: 'response failed', ...error('server_error') },
    { reason: 'response failed' },
  ])('is to try again after %j', (failure) => {
    expect(verdict(failure)).toBe('again');
  });

  it.each<Failure>([
    dialling(error('invalid_api_key')),
    dialling(closed(3000)),
    dialling(closed(4000, 'invalid_request_error.invalid_model')),
    dialling({ httpStatus: 401 }),
    dialling({ httpStatus: 200 }),
    dialling({ ...closed(1006), ...error('CERT_HAS_EXPIRED') }),
    dialling({ httpStatus: 503, ...error('insufficient_quota') }),
    dialling({ httpStatus: 429 }),
    dialling({ httpStatus: 429, retryAfterMs: 2_000, ...error('insufficient_quota') }),
    dialling(closed(1013, 'insufficient_quota')),
    { reason: 'openai closed', ...closed(1013, 'insufficient_quota') },
    dialling({ ...closed(1006), httpStatus: 404 }),
    { reason: 'openai error', ...error('account_deactivated') },
    { reason: 'response failed', ...error('billing_hard_limit_reached') },
  ])('is to give up after %j', (failure) => {
    expect(verdict(failure)).toBe('give up');
  });

  it.each<Failure>([
    dialling(closed(1000)),
    dialling(closed(1011, 'invalid_request_error.beta_api_shape_disabled')),
    dialling({ httpStatus: 429, ...error('odd') }),
    dialling({ ...closed(1006), ...error('beta_api_shape_disabled') }),
    { reason: 'openai error', ...error('response_cancel_not_active') },
    { reason: 'session.update rejected', ...error('unknown_parameter') },
    { reason: 'session not audio/pcmu' },
    { reason: 'not ready in time' },
    { reason: 'twilio lost' },
  ])('is that the session is over after %j', (failure) => {
    expect(verdict(failure)).toBe('over');
  });
});

describe('A Retry-After header', () => {
  it.each([
    ['3', 3_000],
    ['0', 0],
    ['Sat, 28 Nov 2026 12:00:07 GMT', 7_000],
    ['Sat, 28 Nov 2026 11:00:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ])('of %j asks for a pause of %j ms', (header, ms) => {
    expect(parseRetryAfter(header, Date.UTC(2026, 10, 28, 12))).toBe(ms);
  });
});
