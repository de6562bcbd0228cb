// A socket that hears every frame of one interface, what comes in and what goes out, for who wants to see what is on a wire.
import { Descriptor, isSystemError, libc, memory, retried } from "./libc.ts";
import { AF_PACKET, linkAddress } from "./link-address.ts";
import { socketCalls } from "./socket-calls.ts";

// linux/if_ether.h, asm-generic/socket.h
const SOCK_RAW_CLOEXEC = 0o2000003;
const ETH_P_ALL = 0x0003;
const MSG_DONTWAIT = 0x40;

const LONGEST_FRAME_BYTES = 65_536;

/** Hears the frames of an interface. */
export class FrameSocket implements Disposable {
  readonly #descriptor: Descriptor;
  readonly #received = memory(LONGEST_FRAME_BYTES);

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  /**
   * Opens a socket on the interface number `index` of the calling thread's network namespace. Throws SystemError, EPERM
   * without CAP_NET_RAW.
   */
  static open(index: number): FrameSocket {
    // of no protocol, and so deaf, until it is bound to its interface
    const descriptor = new Descriptor(
      retried("open packet socket", () => libc.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0)),
    );
    const address = linkAddress(index, ETH_P_ALL);
    try {
      retried("bind packet socket", () => socketCalls().bind(descriptor.fd, address, address.length));
    } catch (error) {
      descriptor.close();
      throw error;
    }
    return new FrameSocket(descriptor);
  }

  /** Returns a frame that was heard, valid until the next call; undefined if there is none now. Throws SystemError. */
  take(): Uint8Array | undefined {
    const { fd } = this.#descriptor;
    try {
      const length = retried("receive frame", () =>
        libc.recv(fd, this.#received, this.#received.length, MSG_DONTWAIT),
      );
      return this.#received.subarray(0, length);
    } catch (error) {
      if (isSystemError(error, "EAGAIN")) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}
