// Listening to channels of a database (LISTEN), on a connection of its own. The client would connect again by itself, and say
// so in words of its own; here the loss is told to whoever listens, who has to read anew what he may have missed.
import { answeredWithin, type DatabasePlace, dropClient, openClient } from "./postgres-client.ts";
import { sharedStoreErrorOf } from "./postgres-diagnosis.ts";
import { SharedStoreError } from "./store.ts";

/** Who listens, until he closes it or the connection is lost. */
export interface Listening {
  close(): void;
}

/** What is told to who listens. */
export interface Listener {
  /** A notification, in the order in which transactions were committed. */
  notified(channel: string, payload: string): void;
  /** The connection is gone, and whatever is notified from now on; said once, and never after a close. */
  lost(error: SharedStoreError): void;
}

/** Listens to the channels. Rejects with SharedStoreError if that can't begin. */
export async function listenTo(
  place: DatabasePlace,
  location: string,
  channels: readonly string[],
  listener: Listener,
): Promise<Listening> {
  let isOver = false;
  let isListening = false;
  const close = () => {
    isOver = true;
    // at once: the client would try to connect again
    dropClient(client);
  };
  const client = openClient(place, {
    idleTimeout: 0,
    onclose: (error) => {
      if (isOver || !isListening) return;
      close();
      listener.lost(lossOf(error, location));
    },
  });
  try {
    for (const channel of channels) {
      const listening = client.listen(channel, (payload) => {
        if (!isOver) listener.notified(channel, payload);
      });
      await answeredWithin(listening, place.connectTimeoutMs, { location, what: "listening" });
    }
    isListening = true;
    return { close };
  } catch (error) {
    close();
    throw sharedStoreErrorOf(error, location);
  }
}

function lossOf(error: Error | null, location: string): SharedStoreError {
  const told = sharedStoreErrorOf(error, location);
  if (told instanceof SharedStoreError) return told;
  return new SharedStoreError(
    location,
    "unreachable",
    `the ${location} ended the connection on which this node listens`,
    "see that the server runs",
    { cause: error },
  );
}
