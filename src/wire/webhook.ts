import { isE164, isSid, parseObject, texts } from './json.ts';

// What Twilio says of a call: https://www.twilio.com/docs/voice/twiml#request-parameters

/** What Twilio says of a call, as one process may tell it to another. */
export interface CallDetails {
  direction: 'inbound' | 'outbound';
  from?: string;
  to?: string;
  query: Record<string, string>;
}

/** What Twilio posted; `transfer` is what came of a `<Dial>`, whose own call is `dialSid`. */
export type Webhook = ReturnType<typeof readWebhook>;

/** What stands for a number that is withheld: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN (twice: lists differ), UNAVAILABLE. */
const WITHHELD = new Set(['+266696687', '+7378742833', '+2562533', '+8656696', '+8566696', '+86282452253']);

const CALL_SID = /^CA[0-9a-f]{32}$/;

/** The states of a call that is over: a status callback may be sent to the webhook's address. */
const OVER = new Set(['completed', 'canceled', 'busy', 'failed', 'no-answer']);

/** The parameters of a call that Twilio documents. */
const TWILIOS =
  /^(A(ccount|pplication)Sid|AddOns|AnsweredBy|ApiVersion|(Parent)?CallSid|Call(Status|Token|erName)|Direction|Error(Code|Url)|ForwardedFrom|MachineDetectionDuration|Sip(CallId|Domain|DomainSid|Header_.+|SourceIp|Username)|Stir(PassportToken|Verstat)|(Called|Caller|From|To)(City|Country|State|Zip)?)$/;

/** Reads what Twilio posted; all of the query is the owner's then. In a GET, the two are mixed. */
export function readWebhook(query: Record<string, string>, form: Record<string, string>, isSigned = false) {
  const isPost = Object.keys(form).length > 0;
  const { CallSid = '', CallStatus = '', Direction, From, To, ...dial } = isPost ? form : query;
  const own = Object.entries(query).filter(([name]) => isPost || !TWILIOS.test(name));
  const details: CallDetails = {
    direction: Direction?.startsWith('outbound') ? 'outbound' : 'inbound',
    ...numbers(From, To),
    query: Object.fromEntries(own),
  };
  return {
    // Only who needs no signature may call by another name.
    callSid: (isSigned ? CALL_SID.test(CallSid) : isSid(CallSid)) ? CallSid : undefined,
    isOver: OVER.has(CallStatus),
    transfer: { status: dial.DialCallStatus ?? '', seconds: Number(dial.DialCallDuration) || 0 },
    dialSid: isSid(dial.DialCallSid) ? dial.DialCallSid : undefined,
    details,
  };
}

/** How much a parameter of a stream may hold, with its name: https://www.twilio.com/docs/voice/twiml/stream */
const MAX_PARAMETER = 480;

/** The details in a parameter for the stream; without the query where there is no room for it. */
export function encodeDetails(details: CallDetails): string {
  const all = JSON.stringify(details);
  return all.length <= MAX_PARAMETER ? all : JSON.stringify({ ...details, query: undefined });
}

/** Reads what `encodeDetails` wrote; there is little to know of a call that brings nothing. */
export function readDetails(parameter: string): CallDetails {
  const details = parseObject(parameter);
  const { direction, from, to } = texts(details);
  const query = texts(details?.query);
  return { direction: direction === 'outbound' ? direction : 'inbound', ...numbers(from, to), query };
}

function numbers(from = '', to = ''): { from?: string; to?: string } {
  const isNumber = (text: string) => isE164(text) && !WITHHELD.has(text);
  return { ...(isNumber(from) && { from }), ...(isNumber(to) && { to }) };
}
