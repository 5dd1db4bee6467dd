package peer;

import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Adds a payment that was asked for to its tenant's balance. */
final class Credit implements Processor<byte[], byte[], byte[], byte[]> {
    private final Json.Result result = new Json.Result();
    private KeyValueStore<Bytes, byte[]> accounts;

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        accounts = context.getStateStore(Peer.ACCOUNTS);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        result.read(record.value());
        Bytes tenant = Rate.key(result.tenant);
        Account account = Account.read(accounts.get(tenant));
        if (account.inFlight() && result.rechargeId.equals(result.tenant + ":" + account.sequence())) {
            accounts.put(tenant, account.credited(result.amountMicros).bytes());
        }
    }
}
