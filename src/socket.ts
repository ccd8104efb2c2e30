/** What every WebSocket here is opened with: no compression, and a close that is over in 2 s, answered or not. */
export const socketOptions = { perMessageDeflate: false, closeTimeout: 2_000 };
