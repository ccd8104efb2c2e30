const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];
const isLogLevel = (value: string) => LOG_LEVELS.includes(value);

/** Everything that the environment decides. */
export interface Config {
  openaiApiKey: string;
  model: string;
  realtimeUrl: string;
  namesProxy: boolean;
  /** Where Twilio reaches this server, as written, without a slash at its end; undefined to go by each request's headers. */
  publicUrl: string | undefined;
  /** What Twilio signs its requests with; undefined if requests from anybody are allowed. */
  twilioAuthToken: string | undefined;
  /** How many sessions are kept ready for the next calls; 0 for none. */
  standbySessions: number;
  maxConcurrentCalls: number;
  maxCallSeconds: number;
  shutdownGraceSeconds: number;
  port: number;
  host: string;
  logLevel: string;
  /** What is allowed, and unsafe: one sentence each. */
  cautions: string[];
  /** The names of variables that nothing reads. */
  unknown: string[];
}

/** What is wrong with the environment: one line for each mistake, naming the variable and how to fix it. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Reads the configuration from environment variables, empty ones counting as missing; throws a ConfigError. */
export function readConfig(env: Record<string, string | undefined>, fromFile: string[] = []): Config {
  const mistakes: string[] = [];
  const cautions: string[] = [];
  const unknown = new Set(fromFile);

  function text(name: string, fallback?: string): string {
    unknown.delete(name);
    const value = env[name]?.trim() || fallback;
    if (value === undefined) mistakes.push(`${name} is missing: set it in .env (see .env.example).`);
    return value ?? '';
  }

  /** Returns the value of a variable, and notes what to set it to unless it `isGood`. */
  function checked(name: string, fallback: string, isGood: (value: string) => boolean, fix: string): string {
    const value = text(name, fallback);
    if (!isGood(value)) mistakes.push(`${name} is '${value}': set it to ${fix}.`);
    return value;
  }

  function integer(name: string, fallback: number, least: number, most: number): number {
    const isGood = (value: string) => /^\d+$/.test(value) && Number(value) >= least && Number(value) <= most;
    return Number(checked(name, `${fallback}`, isGood, `a whole number from ${least} to ${most}`));
  }

  function twilioAuthToken(): string | undefined {
    const isBoolean = (value: string) => value === 'true' || value === 'false';
    const isOpen = checked('ALLOW_UNSIGNED_REQUESTS', 'false', isBoolean, 'true or false') === 'true';
    const value = text('TWILIO_AUTH_TOKEN', '');
    if (isOpen) {
      cautions.push('anyone can talk on your OpenAI bill: ALLOW_UNSIGNED_REQUESTS is true');
      if (value) cautions.push('TWILIO_AUTH_TOKEN is not used: ALLOW_UNSIGNED_REQUESTS is true');
      return undefined;
    }
    if (value === '') {
      mistakes.push('TWILIO_AUTH_TOKEN is missing: set it, or ALLOW_UNSIGNED_REQUESTS=true to try out.');
    }
    if (/^(AC|SK)[0-9a-f]{32}$/i.test(value)) {
      mistakes.push(
        `TWILIO_AUTH_TOKEN is the SID of ${/^AC/i.test(value) ? 'an account' : 'an API key'}: take the auth token below it.`,
      );
    }
    return value;
  }

  const openaiApiKey = text('OPENAI_API_KEY');
  // The value itself stays out of the message: it is a secret, or close to one.
  if (/[^\x21-\x7e]/.test(openaiApiKey)) {
    mistakes.push('OPENAI_API_KEY has a space or a character that no key has: copy it again.');
  }
  const realtimeUrl = checked(
    'OPENAI_REALTIME_URL',
    'wss://api.openai.com/v1/realtime',
    (value) => /^wss?:\/\/[^#]+$/i.test(value) && URL.canParse(value),
    'a wss:// or ws:// address without #',
  );
  const publicUrl = checked(
    'PUBLIC_URL',
    '',
    isBase,
    `the webhook's address without /incoming-call, such as https://relay.example.com`,
  );
  const config: Config = {
    openaiApiKey,
    model: text('OPENAI_REALTIME_MODEL', 'gpt-realtime-2.1'),
    realtimeUrl,
    namesProxy: /^wss:/i.test(realtimeUrl) && text('HTTPS_PROXY', env.https_proxy ?? '') !== '',
    publicUrl: publicUrl.replace(/\/+$/, '') || undefined,
    twilioAuthToken: twilioAuthToken(),
    standbySessions: integer('STANDBY_SESSIONS', 1, 0, 1_000),
    maxConcurrentCalls: integer('MAX_CONCURRENT_CALLS', 100, 1, 100_000),
    maxCallSeconds: integer('MAX_CALL_SECONDS', 3_300, 1, 14_400),
    shutdownGraceSeconds: integer('SHUTDOWN_GRACE_SECONDS', 30, 0, 86_400),
    port: integer('PORT', 3000, 0, 65_535),
    host: text('HOST', '0.0.0.0'),
    logLevel: checked('LOG_LEVEL', 'info', isLogLevel, `one of ${LOG_LEVELS.join(', ')}`),
    cautions,
    unknown: [...unknown],
  };
  if (/^ws:\/\/(?!localhost\b|127\.|\[::1\])/i.test(realtimeUrl)) {
    cautions.push('the key and the calls travel unencrypted: OPENAI_REALTIME_URL is ws://');
  }
  if (mistakes.length === 0) return config;
  if (unknown.size > 0) mistakes.push(`Nothing reads these variables of .env: ${config.unknown.join(', ')}.`);
  throw new ConfigError(mistakes.join('\n'));
}

/** Whether webhooks may be below `url`; nothing is good, too. */
function isBase(url: string): boolean {
  const isAddress = /^https?:\/\/[^/?#@\\\s]+(\/[^?#\\\s]*)?$/i.test(url) && URL.canParse(url);
  return url === '' || (isAddress && !/\/incoming-call\/*$/.test(url));
}
