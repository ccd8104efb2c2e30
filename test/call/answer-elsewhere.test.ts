import { describe, expect, it } from 'vitest';
import { issueToken } from '../../src/wire/auth.ts';
import { encodeDetails } from '../../src/wire/webhook.ts';
import { readConnect } from '../simulator/webhook.ts';
import { AUTH_TOKEN, GUARDED, SIGNATURE } from '../support/config.ts';
import { CALL, dialStream } from '../support/peers.ts';
import { answering, answeringLater, configuration, FROM, ring, TO } from '../support/ring.ts';

describe('A stream that another process answered', () => {
  const details = { direction: 'outbound', from: FROM, to: TO, query: { shop: '7' } } as const;

  it('has `answer` asked with the details that it carries', async () => {
    const { twiml } = await answering(() => undefined, GUARDED).then(async ({ server }) => ({
      twiml: await ring(server, { Direction: 'outbound-api' }, '/incoming-call?shop=7'),
    }));
    const { token, call } = readConnect(twiml)?.parameters ?? {};
    const { server, openai, asked } = await answering(() => ({ voice: 'ash' }), GUARDED);
    const twilio = await dialStream(server.origin, SIGNATURE);
    twilio.start(CALL, token, call);
    expect(configuration(await (await openai.dialled()).begin())).toMatchObject({ voice: 'ash' });
    expect(asked).toEqual([{ sid: CALL, ...details, signal: expect.any(AbortSignal) }]);
  });

  it('is rejected if its details are not those that were signed', async () => {
    const { server, asked } = await answering(() => undefined, GUARDED);
    const token = issueToken(AUTH_TOKEN, CALL, Date.now(), encodeDetails(details));
    const twilio = await dialStream(server.origin, SIGNATURE);
    twilio.start(CALL, token, encodeDetails({ ...details, query: { shop: '8' } }));
    expect((await twilio.closed).code).toBe(1008);
    expect(await server.log.find('stream rejected')).toMatchObject({
      reason: 'bad token',
    });
    expect(asked).toEqual([]);
  });

  it('is closed if `answer` turns it away, and nothing is dialled', async () => {
    const { server, openai } = await answering(() => 'busy');
    const twilio = await dialStream(server.origin);
    twilio.start();
    expect((await twilio.closed).code).toBe(1013);
    expect(openai.handshakes).toBe(0);
    // The call was answered, so the caller gets an apology.
    expect(await server.lastWords(CALL)).toContain('<Say>I am sorry');
  });

  it('keeps what the caller says while `answer` is pending', async () => {
    const { server, openai, asked, release } = await answeringLater();
    const twilio = await dialStream(server.origin);
    twilio.start();
    twilio.media(0, 'AAEC');
    await twilio.settle();
    expect(asked).toHaveLength(1);
    // A draining server waits for it.
    expect(await server.calls.untilFinished(0)).toBe(false);
    release(undefined);
    const session = await openai.dialled();
    await session.configure();
    expect(await session.next('input_audio_buffer.append')).toMatchObject({ audio: 'AAEC' });
  });
});
