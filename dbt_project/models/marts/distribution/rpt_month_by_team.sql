{{ charges_rolled_up([
    ('payer_account_id', 'bill_payer_account_id', 'payer_account_id'),
    ('team', tag('labels', 'team'), tag('labels', 'team')),
]) }}
