{{ charges_rolled_up([
    ('payer_account_id', 'bill_payer_account_id', 'payer_account_id'),
    ('usage_account_id', 'line_item_usage_account_id', 'usage_account_id'),
    ('region_code', 'product_region_code', 'region_code'),
    ('cluster_name', 'cluster_name', 'cluster_name'),
    ('namespace', 'namespace', 'namespace'),
]) }}
