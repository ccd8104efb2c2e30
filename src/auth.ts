import { createHmac } from 'node:crypto';

/** Form or query parameters as Fastify parses them: a repeated name has several values. */
export type Parameters = Record<string, string | string[]>;

/**
 * What Twilio puts in `X-Twilio-Signature`: https://www.twilio.com/docs/usage/security#validating-requests
 *
 * `url` is the whole address with its query; `parameters` those of a form POST, none for a GET or a WebSocket.
 */
export function sign(authToken: string, url: string, parameters: Parameters = {}): string {
  const names = Object.keys(parameters).sort();
  const pairs = names.flatMap((name) => {
    const values = new Set([parameters[name] ?? []].flat());
    return [...values].sort().map((value) => name + value);
  });
  return createHmac('sha1', authToken)
    .update(url + pairs.join(''), 'utf8')
    .digest('base64');
}
