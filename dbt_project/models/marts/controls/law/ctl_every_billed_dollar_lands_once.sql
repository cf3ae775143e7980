with

totals as (

    select * from {{ ref('rpt_month_totals') }}
    -- A basis that the exports of a payer do not tell obeys no law.
    where bill_usd is not null

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        bill_usd as expected_usd,
        pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd as actual_usd,
        bill_usd
        - (pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd)
            as residual_usd,
        bill_usd
        = pods_split_usd + pods_unused_usd + unallocated_usd + remainder_usd as is_passed,
        'pods ' || {{ money_text('pods_split_usd + pods_unused_usd') }} || ', unallocated '
        || {{ money_text('unallocated_usd') }} || ', remainder '
        || {{ money_text('remainder_usd') }} as evidence
    from totals

)

select * from final
