package peer;

import java.nio.ByteBuffer;

/** A tenant's balance, and whether a recharge is on its way. */
record Account(long balanceMicros, long sequence, boolean inFlight) {
    static final long TRIGGER_MICROS = 20_000_000;
    static final long PAYMENT_MICROS = 50_000_000;

    static Account read(byte[] stored) {
        if (stored == null) return new Account(0, 0, false);
        ByteBuffer in = ByteBuffer.wrap(stored);
        return new Account(in.getLong(), in.getLong(), in.get() != 0);
    }

    byte[] bytes() {
        ByteBuffer out = ByteBuffer.allocate(17).putLong(balanceMicros).putLong(sequence);
        return out.put((byte) (inFlight ? 1 : 0)).array();
    }

    Account debited(long micros) {
        return new Account(balanceMicros - micros, sequence, inFlight);
    }

    Account credited(long micros) {
        return new Account(balanceMicros + micros, sequence, false);
    }

    boolean mustRecharge() {
        return balanceMicros <= TRIGGER_MICROS && !inFlight;
    }

    Account recharging() {
        return new Account(balanceMicros, sequence + 1, true);
    }
}
