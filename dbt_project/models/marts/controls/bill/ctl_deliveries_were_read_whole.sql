select
    billing_month,
    null::string as payer_account_id,
    'unblended' as cost_basis,
    sum(delivered_usd) as expected_usd,
    sum(read_usd) as actual_usd,
    sum(abs(delivered_usd - read_usd)) as residual_usd,
    max(case when is_whole then 0 else 1 end) = 0 as is_passed,
    count(*) || ' files, ' || sum(read_rows) || ' of ' || sum(delivered_rows)
    || ' lines, every amount against what its file held'
    || coalesce(', differs: ' || min(source_file) filter (where not is_whole), '')
        as evidence
from {{ ref('int_bill_files__reread') }}
group by billing_month
