import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../src/config.ts';

const KEYS = { OPENAI_API_KEY: 'sk-test', TWILIO_AUTH_TOKEN: 'token' };

function mistakes(env: Record<string, string>): string[] {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n');
  }
}

describe('The configuration', () => {
  it('needs no more than the two keys', () => {
    expect(readConfig(KEYS)).toMatchObject({
      openaiApiKey: 'sk-test',
      model: 'gpt-realtime-2.1',
      realtimeUrl: 'wss://api.openai.com/v1/realtime',
      publicUrl: undefined,
      port: 3000,
      host: '0.0.0.0',
      logLevel: 'info',
      twilioAuthToken: 'token',
      standbySessions: 1,
      maxConcurrentCalls: 100,
      maxCallSeconds: 3300,
      shutdownGraceSeconds: 30,
    });
  });

  it('takes an empty value for a missing one', () => {
    expect(readConfig({ ...KEYS, PORT: '', PUBLIC_URL: ' ' })).toMatchObject({
      port: 3000,
      publicUrl: undefined,
    });
  });

  it.each([
    ['https://Relay.Example.com', 'https://Relay.Example.com'],
    ['https://relay.example.com:443/', 'https://relay.example.com:443'],
    ['https://relay.example.com/voice/', 'https://relay.example.com/voice'],
  ])('takes the PUBLIC_URL %s as it is written', (PUBLIC_URL, publicUrl) => {
    expect(readConfig({ ...KEYS, PUBLIC_URL }).publicUrl).toBe(publicUrl);
  });

  it.each([
    ['OPENAI_API_KEY', ''],
    ['OPENAI_API_KEY', 'sk-te st'],
    ['OPENAI_REALTIME_URL', 'https://api.openai.com/v1/realtime'],
    ['OPENAI_REALTIME_URL', 'wss://api.openai.com/v1/realtime#part'],
    ['OPENAI_REALTIME_URL', 'nonsense'],
    ['PUBLIC_URL', 'relay.example.com'],
    ['PUBLIC_URL', 'wss://relay.example.com'],
    ['PUBLIC_URL', 'https://relay.example.com/incoming-call'],
    ['PUBLIC_URL', 'https://relay.example.com/voice/incoming-call/'],
    ['PUBLIC_URL', 'https://relay.example.com/?shop=7'],
    ['PUBLIC_URL', 'https://me:secret@relay.example.com'],
    ['PUBLIC_URL', 'https:/relay.example.com'],
    ['TWILIO_AUTH_TOKEN', ''],
    ['ALLOW_UNSIGNED_REQUESTS', 'yes'],
    ['STANDBY_SESSIONS', '1001'],
    ['MAX_CONCURRENT_CALLS', '0'],
    ['MAX_CALL_SECONDS', '1.5'],
    ['SHUTDOWN_GRACE_SECONDS', '-1'],
    ['PORT', '80a'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['LOG_LEVEL', 'loud'],
  ])('refuses %s when it is %j, in one line that names it', (name, value) => {
    expect(mistakes({ ...KEYS, [name]: value })).toEqual([expect.stringMatching(`^${name} .*: .+\\.`)]);
  });

  it('names all mistakes at once', () => {
    expect(mistakes({ PORT: 'x', LOG_LEVEL: 'loud' })).toHaveLength(4);
  });

  it('needs no auth token if unsigned requests are allowed', () => {
    const env = { ...KEYS, ALLOW_UNSIGNED_REQUESTS: 'true' };
    expect(readConfig(env).twilioAuthToken).toBeUndefined();
    expect(readConfig({ ...env, TWILIO_AUTH_TOKEN: '' }).twilioAuthToken).toBeUndefined();
  });

  it('names what nothing reads, and with the mistakes, too: a name may be misspelt', () => {
    const names = ['TWILIO_AUTH_TOKEN', 'OPENAI_APIKEY'];
    expect(readConfig({ ...KEYS, ALLOW_UNSIGNED_REQUESTS: 'true' }, names).unknown).toEqual([
      'OPENAI_APIKEY',
    ]);
    expect(() => readConfig({ TWILIO_AUTH_TOKEN: 'token' }, names)).toThrow(
      /_KEY is missing.*\n.* OPENAI_APIKEY\./,
    );
  });

  it('does not repeat a key that it refuses', () => {
    expect(mistakes({ OPENAI_API_KEY: 'sk-te st' }).join()).not.toContain('sk-te');
  });
});

describe('Cautions', () => {
  it.each([
    [{ ALLOW_UNSIGNED_REQUESTS: 'true', TWILIO_AUTH_TOKEN: '' }, ['anyone can talk']],
    [{ ALLOW_UNSIGNED_REQUESTS: 'true' }, ['anyone can talk', 'TWILIO_AUTH_TOKEN is not used']],
    [{ OPENAI_REALTIME_URL: 'ws://relay.example/v1' }, ['travel unencrypted']],
    [{ OPENAI_REALTIME_URL: 'ws://127.0.0.1:3002/v1' }, []],
    [{ OPENAI_REALTIME_URL: 'ws://localhost:3002/v1' }, []],
    [{}, []],
  ])('for %j are %j', (env, words) => {
    const { cautions } = readConfig({ ...KEYS, ...env });
    expect(cautions).toEqual(words.map((each) => expect.stringContaining(each)));
  });
});
