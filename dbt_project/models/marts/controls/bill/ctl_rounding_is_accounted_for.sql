-- Below a cent over the whole month, or the unit of 1e-10 USD is too coarse for this bill.
select
    billing_month,
    null::string as payer_account_id,
    null::string as cost_basis,
    0 as expected_usd,
    sum(rounding_moved_usd)::decimal(38, 10) as actual_usd,
    sum(rounding_moved_usd)::decimal(38, 10) as residual_usd,
    sum(abs(rounding_moved_usd)) < 0.01 as is_passed,
    sum(rounded_values) || ' amounts had more than ten decimals, and rounding moved '
    || sum(rounding_moved_usd)::string || ' USD' as evidence
from {{ ref('stg_cur__bill_files') }}
group by billing_month
